-- Who is signed in to the dashboard, and how each person wants its pages. A session has what its token has, and ends with it: there is
-- nothing here that a token that was revoked or renewed could still be used by.

create table sessions (
  hash         blob    primary key,        -- SHA-256 of what the browser holds
  token_hash   blob    not null,           -- of the token that was given
  created_at   integer not null,
  seen_at      integer not null            -- within a minute of the last page
) without rowid;
create index sessions_by_seen on sessions (seen_at);

create table person_settings (
  person       text    primary key,        -- the token's name
  language     text    not null,           -- en, zh-Hans, zh-Hant
  timezone     text,                       -- the project's where none is said
  is_dense     integer not null            -- 1: more rows on a screen
) without rowid;

-- What nobody wants to hear of before a time: notices of incidents of this key wait until then.
create table alert_mutes (
  key          text    primary key,        -- an incident's
  until        integer not null,
  actor        text    not null,
  reason       text    not null
) without rowid;

-- Which headings of a file a person has said are which columns of a job: the next file with the same header is read the same way.
create table column_mappings (
  workflow     text    not null,
  job          text    not null,
  header       blob    not null,           -- fingerprint of the headings
  columns      text    not null,           -- JSON object: the heading of each column
  person       text    not null,           -- who has said so last
  at           integer not null,
  primary key (workflow, job, header)
) without rowid;
