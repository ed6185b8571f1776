"""To and from other people's formats. Foreign names live here, and only here."""
