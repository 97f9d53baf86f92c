-- What a job ($2) has planned that names a payment by one of these numbers ($1).
-- `cross join`: the list first, then what it names by an index.
select i.id, i.payment_ours, i.payment_theirs, i.payment_part from json_each($1) as k cross join items as i
where i.payment_ours = k.atom and i.job_id = $2 and i.state = 'planned'
union
-- `cross join`: as above.
select i.id, i.payment_ours, i.payment_theirs, i.payment_part from json_each($1) as k cross join items as i
where i.payment_theirs = k.atom and i.job_id = $2 and i.state = 'planned'
union
-- `cross join`: as above.
select i.id, i.payment_ours, i.payment_theirs, i.payment_part from json_each($1) as k cross join items as i
where i.payment_part = k.atom and i.job_id = $2 and i.state = 'planned'
