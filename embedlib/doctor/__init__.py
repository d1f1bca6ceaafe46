"""The troubleshooting table as diagnosis: findings with evidence and the next command."""
