-- Everything one commit says of items: moves, events, attempts, totals, each a JSON list, in this order. What is written with every
-- call goes by position, what is mostly null at the end, where it may be missing: by name it cost a quarter more (benches/README.md).
-- The list comes first and the items are found by their id, which a test on the query plan pins.
update items set
  version          = items.version + 1,
  state            = m.value ->> 2,
  generation       = m.value ->> 3,
  order_no         = m.value ->> 4,
  next_at          = m.value ->> 12,
  lease_until      = m.value ->> 10,
  node             = m.value ->> 11,
  submit_count     = m.value ->> 5,
  query_count      = m.value ->> 6,
  decline_count    = m.value ->> 7,
  sent_at          = m.value ->> 8,
  unresolved_since = m.value ->> 16,
  query_purpose    = m.value ->> 17,
  receipt          = m.value ->> 9,
  result           = m.value ->> 13,
  -- What is asked about again and again keeps the reason that it began with. None that is open has a code.
  reason           = coalesce(m.value ->> 14,
    case when items.state = m.value ->> 2 and items.state in ('pending', 'unknown') then items.reason end),
  reason_message   = case when m.value ->> 14 is not null then m.value ->> 18
    when items.state = m.value ->> 2 and items.state in ('pending', 'unknown') then items.reason_message end,
  reason_code      = m.value ->> 15
from json_each(?) as m where items.id = m.value ->> 0 and items.version = m.value ->> 1;

-- Where an item has moved on, its event is there already; then the rows do not add up and nothing is kept.
insert or ignore into events (item_id, version, at, event, from_state, to_state, alarm, detail, message)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
  value ->> 6, value ->> 7, value ->> 8
from json_each(?);

-- An attempt that is there already stays as it is.
insert or ignore into attempts
  (item_id, version, kind, operation, order_no, started_at, ended_at, answer, code, http, late, evidence)
select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
  value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11
from json_each(?);

insert into totals (job_id, state, currency, items, minor)
select value ->> 'job_id', value ->> 'state', value ->> 'currency', value ->> 'items', value ->> 'minor' from json_each(?) where true
on conflict (job_id, state, currency) do update set items = items + excluded.items, minor = minor + excluded.minor;
