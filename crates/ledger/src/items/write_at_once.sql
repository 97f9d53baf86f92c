-- As write.sql, in one statement. All parts see the rows as they were before it, which none of them minds.
with
-- The items, each as it is after its move, if it still has the version that it was read with.
moved as (
  update items set
    version          = items.version + 1,
    state            = m.value ->> 2,
    generation       = cast(m.value ->> 3 as bigint),
    order_no         = m.value ->> 4,
    next_at          = cast(m.value ->> 12 as bigint),
    lease_until      = cast(m.value ->> 10 as bigint),
    node             = cast(m.value ->> 11 as bigint),
    submit_count     = cast(m.value ->> 5 as bigint),
    query_count      = cast(m.value ->> 6 as bigint),
    decline_count    = cast(m.value ->> 7 as bigint),
    sent_at          = cast(m.value ->> 8 as bigint),
    unresolved_since = cast(m.value ->> 16 as bigint),
    query_purpose    = m.value ->> 17,
    receipt          = m.value ->> 9,
    result           = m.value ->> 13,
    -- What is asked about again and again keeps the reason that it began with. None that is open has a code.
    reason           = coalesce(m.value ->> 14,
      case when items.state = m.value ->> 2 and items.state in ('pending', 'unknown') then items.reason end),
    reason_message   = case when m.value ->> 14 is not null then m.value ->> 18
      when items.state = m.value ->> 2 and items.state in ('pending', 'unknown') then items.reason_message end,
    reason_code      = m.value ->> 15
  from json_each($1) as m
  where items.id = cast(m.value ->> 0 as bigint) and items.version = cast(m.value ->> 1 as bigint)
  returning 1),
-- Where an item has moved on, its event is there already; then the rows do not add up and nothing is kept.
noted as (
  insert into events (item_id, version, at, event, from_state, to_state, alarm, detail, message)
  select cast(value ->> 0 as bigint), cast(value ->> 1 as bigint), cast(value ->> 2 as bigint), value ->> 3,
    value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8
  from json_each($2) on conflict do nothing
  returning 1),
-- An attempt that is there already stays as it is.
attempted as (
  insert into attempts (item_id, version, kind, operation, order_no, started_at, ended_at, answer, code, http, late, evidence)
  select cast(value ->> 0 as bigint), cast(value ->> 1 as bigint), value ->> 2, value ->> 3, value ->> 4,
    cast(value ->> 5 as bigint), cast(value ->> 6 as bigint), value ->> 7, value ->> 8,
    cast(value ->> 9 as bigint), cast(value ->> 10 as bigint), value ->> 11
  from json_each($3) on conflict do nothing
  returning 1),
-- What the moves do to the totals: by name, since there are few.
counted as (
  insert into totals (job_id, state, currency, items, minor)
  select cast(value ->> 'job_id' as bigint), value ->> 'state', value ->> 'currency', cast(value ->> 'items' as bigint),
    cast(value ->> 'minor' as bigint)
  from json_each($4)
  on conflict (job_id, state, currency) do update
    set items = totals.items + excluded.items, minor = totals.minor + excluded.minor
  returning 1)
-- How many rows changed: whoever wrote knows how many it must be.
select (select count(*) from moved) + (select count(*) from noted) + (select count(*) from attempted)
  + (select count(*) from counted)
