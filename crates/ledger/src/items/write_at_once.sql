-- As write.sql, in one statement. All parts see the rows as they were before it, which none of them minds.
with
moved as (
  update items set
    version          = items.version + 1,
    state            = m.value ->> 'state',
    generation       = cast(m.value ->> 'generation' as bigint),
    order_no         = m.value ->> 'order_no',
    next_at          = cast(m.value ->> 'next_at' as bigint),
    lease_until      = cast(m.value ->> 'lease_until' as bigint),
    node             = cast(m.value ->> 'node' as bigint),
    submit_count     = cast(m.value ->> 'submit_count' as bigint),
    query_count      = cast(m.value ->> 'query_count' as bigint),
    decline_count    = cast(m.value ->> 'decline_count' as bigint),
    sent_at          = cast(m.value ->> 'sent_at' as bigint),
    unresolved_since = cast(m.value ->> 'unresolved_since' as bigint),
    query_purpose    = m.value ->> 'query_purpose',
    receipt          = m.value ->> 'receipt',
    result           = m.value ->> 'result',
    reason           = coalesce(m.value ->> 'reason',
      case when items.state = m.value ->> 'state' and items.state in ('pending', 'unknown') then items.reason end),
    reason_code      = case when m.value ->> 'reason' is null and items.state = m.value ->> 'state' and items.state in ('pending', 'unknown')
      then items.reason_code else m.value ->> 'reason_code' end
  from json_each($1) as m
  where items.id = cast(m.value ->> 'id' as bigint) and items.version = cast(m.value ->> 'version' as bigint)
  returning 1),
told as (
  insert into events (item_id, version, at, event, from_state, to_state, detail, alarm)
  select cast(value ->> 'item_id' as bigint), cast(value ->> 'version' as bigint), cast(value ->> 'at' as bigint), value ->> 'event',
    value ->> 'from_state', value ->> 'to_state', value ->> 'detail', value ->> 'alarm'
  from json_each($2) on conflict do nothing
  returning 1),
attempted as (
  insert into attempts (item_id, version, kind, operation, order_no, started_at, ended_at, answer, code, http, late, evidence)
  select cast(value ->> 'item_id' as bigint), cast(value ->> 'version' as bigint), value ->> 'kind', value ->> 'operation', value ->> 'order_no',
    cast(value ->> 'started_at' as bigint), cast(value ->> 'ended_at' as bigint), value ->> 'answer', value ->> 'code',
    cast(value ->> 'http' as bigint), cast(value ->> 'late' as bigint), value ->> 'evidence'
  from json_each($3) on conflict do nothing
  returning 1),
counted as (
  insert into totals (job_id, state, currency, items, minor)
  select cast(value ->> 'job_id' as bigint), value ->> 'state', value ->> 'currency', cast(value ->> 'items' as bigint),
    cast(value ->> 'minor' as bigint)
  from json_each($4)
  on conflict (job_id, state, currency) do update
    set items = totals.items + excluded.items, minor = totals.minor + excluded.minor
  returning 1)
select (select count(*) from moved) + (select count(*) from told) + (select count(*) from attempted)
  + (select count(*) from counted)
