-- What gateways tell of their own accord: kept as it came before it is acknowledged, so that nothing acknowledged is lost and
-- everything can be applied again. Only what was verified is here.
create table notifications (
  id           integer primary key,
  lane         text    not null,           -- the gateway account
  digest       text    not null,           -- SHA-256 of the body: the same again is no other notification
  received_at  integer not null,           -- for the first time
  repeats      integer not null default 0, -- how often it came again
  headers      text    not null,           -- JSON object of those it is verified with
  body         text    not null,           -- base64; sealed where personal data is
  sealed       integer not null,
  order_no     text,                       -- whose order it names
  outcome      text    not null,           -- open, applied, queried, no_change, contradicts, mismatch, unknown_order, unreadable
  detail       text,
  item_id      integer,
  tries        integer not null default 0, -- how often it was looked at in vain
  next_at      integer,                    -- when it is looked at again; none once that has ended
  unique (lane, digest)
);
create index notifications_due on notifications (next_at) where next_at is not null;
create index notifications_by_order on notifications (order_no) where order_no is not null;
create index notifications_by_outcome on notifications (outcome, id);
create index notifications_by_time on notifications (received_at);
-- By the key it is sealed under, as items_sealed.
create index notifications_sealed on notifications (case when substr(body, 17, 1) = ':' then substr(body, 1, 16) else '-' end)
    where sealed = 1;
