-- Items that came after these ($1) and stand for them: what is for the same part of the same whole, and what filed a row again ($2: the
-- item of before and the one after it). What was withdrawn stands for nothing.
-- `cross join`: the list first, then what it names by an index.
select i.id as earlier, x.id, x.state, x.reason, x.result, j.run_id
from json_each($1) as k cross join items as i cross join items as x cross join jobs as j
where i.id = cast(k.atom as bigint) and x.part_of = i.part_of and x.part_of is not null and x.part = i.part and x.id > i.id
  and x.state <> 'cancelled' and j.id = x.job_id
union
select cast(k.value ->> 'earlier' as bigint), x.id, x.state, x.reason, x.result, j.run_id
from json_each($2) as k cross join items as x cross join jobs as j
where x.id = cast(k.value ->> 'later' as bigint) and x.state <> 'cancelled' and j.id = x.job_id
order by 1, 2
