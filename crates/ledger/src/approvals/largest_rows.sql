-- Rows of a job ($1) by currency, the largest first, $5 at most. `cross join`: the job first, then its items.
select i.*, j.run_id, j.name as job from jobs as j cross join items as i
-- The rows that became items, by the numbers between which they are.
where j.id = $1 and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807)
  and i.job_id = j.id and i.state not in ('rejected', 'skipped')
  -- From behind one on: its currency ($2), its amount ($3), its number ($4).
  and (coalesce(i.currency, '') > $2 or (coalesce(i.currency, '') = $2
    and (coalesce(i.amount, -1) < $3 or (coalesce(i.amount, -1) = $3 and i.id > $4))))
-- What has no amount comes last in its currency.
order by coalesce(i.currency, ''), coalesce(i.amount, -1) desc, i.id limit $5
