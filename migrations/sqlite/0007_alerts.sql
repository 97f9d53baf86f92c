-- What people are told of: incidents, who is to hear of each, and the mails. All of it is in the ledger, so that
-- several processes never tell the same twice and a mail server that is away loses nothing.

-- An incident from its beginning to its end, or an event that happens once.
create table incidents (
  id           integer primary key,
  key          text    not null,           -- what it is about; the same again is another incident
  kind         text    not null,
  lasting      integer not null,           -- 0: it happened once, and is told once
  since        integer not null,
  opened_at    integer,                    -- none until it has lasted for as long as a rule says
  gone_since   integer,                    -- not seen since; over when that has lasted
  closed_at    integer,
  payload      text    not null            -- JSON: what a mail says of it
);
create unique index incidents_key on incidents (key) where closed_at is null or lasting = 0;
create index incidents_open on incidents (id) where closed_at is null;
create index incidents_closed on incidents (closed_at) where closed_at is not null;

-- Who is to hear that an incident was opened, or is over.
create table notices (
  incident_id  integer not null,
  recipient    text    not null,
  phase        text    not null,           -- opened, closed
  due_at       integer not null,           -- when a mail is made of it
  urgent       integer not null,
  mail_id      integer,                    -- the mail that has it
  primary key (incident_id, recipient, phase)
) without rowid;
create index notices_waiting on notices (recipient, due_at) where mail_id is null;

-- The outbox: one row a mail and recipient. It is at least once: a mail whose outcome is not known is sent again.
create table mails (
  id           integer primary key,
  name         text    not null unique,    -- what it must not be made twice for
  recipient    text    not null,
  message_id   text    not null,           -- stays the same, so that a second copy can be told
  subject      text    not null,
  plain        text    not null,
  html         text    not null,
  created_at   integer not null,
  state        text    not null,           -- waiting, sent, refused, expired
  tries        integer not null default 0,
  next_at      integer not null,           -- when it is sent, or tried again
  lease        integer,                    -- the claim of the process that sends it
  lease_until  integer,
  ended_at     integer,
  answer       text                        -- what the server said last
);
create index mails_waiting on mails (next_at) where state = 'waiting';
create index mails_lost on mails (id) where state in ('refused', 'expired');
create index mails_of on mails (recipient, created_at);
create index mails_ended on mails (ended_at) where ended_at is not null;

-- Up to when events have been looked for.
create table alert_checkpoints (
  name         text    primary key,
  at           integer not null
) without rowid;

-- Answers of gateways that no outcome table lists, or whose meaning no page of the gateway's attests: told once.
create table unmapped_codes (
  lane         text    not null,
  kind         text    not null,
  code         text    not null,
  assumed      text,                       -- what payrun's reading rests on; none where no outcome table lists the answer at all
  first_at     integer not null,
  last_at      integer not null,
  item_id      integer not null,           -- the first that had it
  primary key (lane, kind, code)
) without rowid;
create index unmapped_codes_first on unmapped_codes (first_at);

-- Gateways that cannot be reached, for people to hear of. Reached again, the row goes.
create table unreachable_gateways (
  lane         text    primary key,
  since        integer not null,
  how          text    not null            -- which way connections fail
) without rowid;
