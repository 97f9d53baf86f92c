-- Everything one commit says of items: moves, events, attempts, totals, each a JSON list of objects, in this order.
-- The list comes first and the items are found by their id, which a test on the query plan pins.
update items set
  version          = items.version + 1,
  state            = m.value ->> 'state',
  generation       = m.value ->> 'generation',
  order_no         = m.value ->> 'order_no',
  next_at          = m.value ->> 'next_at',
  lease_until      = m.value ->> 'lease_until',
  node             = m.value ->> 'node',
  submit_count     = m.value ->> 'submit_count',
  query_count      = m.value ->> 'query_count',
  decline_count    = m.value ->> 'decline_count',
  sent_at          = m.value ->> 'sent_at',
  unresolved_since = m.value ->> 'unresolved_since',
  query_purpose    = m.value ->> 'query_purpose',
  receipt          = m.value ->> 'receipt',
  result           = m.value ->> 'result',
  -- What is asked about again and again keeps the reason that it began with, and the code that belongs to it.
  reason           = coalesce(m.value ->> 'reason',
    case when items.state = m.value ->> 'state' and items.state in ('pending', 'unknown') then items.reason end),
  reason_code      = case when m.value ->> 'reason' is null and items.state = m.value ->> 'state' and items.state in ('pending', 'unknown')
    then items.reason_code else m.value ->> 'reason_code' end
from json_each(?) as m where items.id = m.value ->> 'id' and items.version = m.value ->> 'version';

-- Where an item has moved on, its event is there already; then the rows do not add up and nothing is kept.
insert or ignore into events (item_id, version, at, event, from_state, to_state, detail, alarm)
select value ->> 'item_id', value ->> 'version', value ->> 'at', value ->> 'event', value ->> 'from_state', value ->> 'to_state',
  value ->> 'detail', value ->> 'alarm'
from json_each(?);

-- An attempt that is there already stays as it is.
insert or ignore into attempts
  (item_id, version, kind, operation, order_no, started_at, ended_at, answer, code, http, late, evidence)
select value ->> 'item_id', value ->> 'version', value ->> 'kind', value ->> 'operation', value ->> 'order_no', value ->> 'started_at', value ->> 'ended_at',
  value ->> 'answer', value ->> 'code', value ->> 'http', value ->> 'late', value ->> 'evidence'
from json_each(?);

insert into totals (job_id, state, currency, items, minor)
select value ->> 'job_id', value ->> 'state', value ->> 'currency', value ->> 'items', value ->> 'minor' from json_each(?) where true
on conflict (job_id, state, currency) do update set items = items + excluded.items, minor = minor + excluded.minor;
