-- Of each row ($1): an item that is for the same whole in another shape, or for the same part in other letters. $2: the run that
-- is being planned, whose jobs may have no rows yet. What came to nothing does not count, nor what the row does again with other
-- content: the item `but`, and what was filed again under the key `chain` before.
select cast(k.value ->> 'n' as bigint) as n, i.id, i.job_id, i.line, i.state, i.part, i.part_written, coalesce(j.run_id, $2) as run_id
-- `cross join`: the list first, each item by its number. Which of several is found does not matter: an order would read more.
from json_each($1) as k cross join items as i left join jobs as j on j.id = i.job_id
where i.id = coalesce(
  -- The row is for the whole, and an item for a part.
  (select x.id from items as x where k.value ->> 'part' = '' and x.part_of = unhex(k.value ->> 'part_of') and x.part > ''
     and x.state not in ('failed', 'cancelled', 'rejected', 'skipped')
     and x.id <> cast(k.value ->> 'but' as bigint)
     and not (x.key = k.value ->> 'chain' and coalesce(x.result, '') like '%"filed_again_as":%') limit 1),
  -- The row is for a part, and an item for the whole.
  (select x.id from items as x where k.value ->> 'part' <> '' and x.part_of = unhex(k.value ->> 'part_of') and x.part = ''
     and x.state not in ('failed', 'cancelled', 'rejected', 'skipped')
     and x.id <> cast(k.value ->> 'but' as bigint)
     and not (x.key = k.value ->> 'chain' and coalesce(x.result, '') like '%"filed_again_as":%') limit 1),
  -- Both are for the same but for capitals; or for the same, which is done once; or the item is a later change of the same. Whoever has
  -- the row's own key is told of elsewhere.
  (select x.id from items as x where x.part_of = unhex(k.value ->> 'part_of') and x.part = k.value ->> 'part'
     and (x.part_written <> k.value ->> 'written' or cast(k.value ->> 'once' as bigint) = 1
       or x.id > cast(k.value ->> 'after' as bigint))
     and x.state not in ('failed', 'cancelled', 'rejected', 'skipped')
     and x.id <> cast(k.value ->> 'but' as bigint)
     and not (x.key = k.value ->> 'chain' and coalesce(x.result, '') like '%"filed_again_as":%') limit 1))
