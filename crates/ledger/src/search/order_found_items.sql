-- Which of these items ($1) are meant, the newest first by when they were sent, or else planned, $7 at most; and how many in all.
select i.id, count(*) over () as every
-- `cross join`: the list first, then the item, the job and the run of each by their numbers.
from json_each($1) as k cross join items as i cross join jobs as j cross join runs as r
where i.id = cast(k.atom as bigint) and j.id = i.job_id and r.id = j.run_id
  -- On a lane ($2), and of an amount ($3) in a currency ($4), where they are given.
  and ($2 is null or j.lane = $2) and (cast($3 as bigint) is null or (i.amount = $3 and i.currency = $4))
  -- On a day, from $5 until before $6: what was sent or asked then, and what was planned then and never sent.
  and (cast($5 as bigint) is null
    or (coalesce(i.sent_at, r.started_at) >= $5 and coalesce(i.sent_at, r.started_at) < $6)
    or exists (select 1 from attempts as a where a.item_id = i.id and a.started_at >= $5 and a.started_at < $6))
order by coalesce(i.sent_at, r.started_at) desc, i.id desc limit $7
