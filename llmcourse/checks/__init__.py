"""The exercises' checks: cases, and a bank of the mistakes that learners really make."""
