"""Measurements of the runbook against the bare commands of the procedure; nothing else imports this."""
