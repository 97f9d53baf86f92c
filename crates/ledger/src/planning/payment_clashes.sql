-- Of each row ($1): an item that names the row's payment by one of its two numbers, or by the part, and another payment by the rest. $2: the run that
-- is being planned, whose jobs may have no rows yet. $3: the job of the row; $4: 1 for items of that job, 0 for those of others.
-- What came to nothing does not count, nor what the row does again with other content: the item `but`, and what was filed again under
-- the key `chain` before.
select cast(k.value ->> 'n' as bigint) as n, i.id, i.line, i.state, i.payment_ours, i.payment_theirs, i.payment_part, i.payment_written,
  coalesce(j.run_id, $2) as run_id
-- `cross join`: the list first, each item by its number. Which of several is found does not matter: an order would read more.
from json_each($1) as k cross join items as i left join jobs as j on j.id = i.job_id
where i.id = coalesce(
  -- By the merchant's number. `<` and `>` apart, so that the items of the same payment are not read.
  (select x.id from items as x where x.payment_ours = k.value ->> 'ours' and x.payment_written < k.value ->> 'written'
     and case when x.job_id = $3 then 1 else 0 end = $4 and x.state not in ('failed', 'cancelled', 'rejected', 'skipped')
     and x.id <> cast(k.value ->> 'but' as bigint)
     and not (x.key = k.value ->> 'chain' and coalesce(x.result, '') like '%"filed_again_as":%') limit 1),
  (select x.id from items as x where x.payment_ours = k.value ->> 'ours' and x.payment_written > k.value ->> 'written'
     and case when x.job_id = $3 then 1 else 0 end = $4 and x.state not in ('failed', 'cancelled', 'rejected', 'skipped')
     and x.id <> cast(k.value ->> 'but' as bigint)
     and not (x.key = k.value ->> 'chain' and coalesce(x.result, '') like '%"filed_again_as":%') limit 1),
  -- By the gateway's.
  (select x.id from items as x where x.payment_theirs = k.value ->> 'theirs' and x.payment_written < k.value ->> 'written'
     and case when x.job_id = $3 then 1 else 0 end = $4 and x.state not in ('failed', 'cancelled', 'rejected', 'skipped')
     and x.id <> cast(k.value ->> 'but' as bigint)
     and not (x.key = k.value ->> 'chain' and coalesce(x.result, '') like '%"filed_again_as":%') limit 1),
  (select x.id from items as x where x.payment_theirs = k.value ->> 'theirs' and x.payment_written > k.value ->> 'written'
     and case when x.job_id = $3 then 1 else 0 end = $4 and x.state not in ('failed', 'cancelled', 'rejected', 'skipped')
     and x.id <> cast(k.value ->> 'but' as bigint)
     and not (x.key = k.value ->> 'chain' and coalesce(x.result, '') like '%"filed_again_as":%') limit 1),
  -- By the part, where its number is its own.
  (select x.id from items as x where x.payment_part = k.value ->> 'part' and x.payment_written < k.value ->> 'written'
     and case when x.job_id = $3 then 1 else 0 end = $4 and x.state not in ('failed', 'cancelled', 'rejected', 'skipped')
     and x.id <> cast(k.value ->> 'but' as bigint)
     and not (x.key = k.value ->> 'chain' and coalesce(x.result, '') like '%"filed_again_as":%') limit 1),
  (select x.id from items as x where x.payment_part = k.value ->> 'part' and x.payment_written > k.value ->> 'written'
     and case when x.job_id = $3 then 1 else 0 end = $4 and x.state not in ('failed', 'cancelled', 'rejected', 'skipped')
     and x.id <> cast(k.value ->> 'but' as bigint)
     and not (x.key = k.value ->> 'chain' and coalesce(x.result, '') like '%"filed_again_as":%') limit 1))
