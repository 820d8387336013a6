-- The identity service makes its own tables at its first start, in a schema of its own.
CREATE SCHEMA IF NOT EXISTS iam;
