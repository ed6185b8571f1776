"""More mistakes to the checks in `bank/`, one module for each of its modules, of the same name.

They are read once an answer is wrong: `from llmcourse.checks.bank.laws import fit_power_law`, then
`@fit_power_law.mistake(...)`. Not here: what a check is, and the mistakes that most people make
(`bank/`).
"""
