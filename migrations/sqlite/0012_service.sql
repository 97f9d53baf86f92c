-- The service: who may speak to it, and what was asked of it once.

-- Tokens of the API. The token itself is told once, to the person who makes it; only its SHA-256 is kept.
create table tokens (
  id           integer primary key,
  name         text    not null unique,
  role         text    not null,           -- viewer, operator, approver, admin
  hash         blob    not null unique,
  created_at   integer not null,
  created_by   text    not null,
  expires_at   integer,
  revoked_at   integer
);

-- Runs that were asked for by the API, by the caller's Idempotency-Key: asked again, the same run is the answer.
create table requests (
  caller       text    not null,
  key          text    not null,
  fingerprint  blob    not null,           -- of what was asked: another request under this key is refused
  created_at   integer not null,
  primary key (caller, key)
) without rowid;
