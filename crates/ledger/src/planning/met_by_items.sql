-- Whether a plan that is not decided, whose jobs are $3 to $4, has something that new items have, of which there is one: a key ($1), a number
-- of the user's ($2), a payment that is done whole or in parts ($5), or one of the names of a payment ($6: merchant's, gateway's, part's).
-- `cross join`: the list first, then what it names by an index.
select 1 from json_each($1) as k cross join items as i
where i.key_hash = unhex(k.atom) and i.job_id between $3 and $4
union all
select 1 from json_each($2) as n cross join items as i
where i.custom_order_no = n.atom and i.job_id between $3 and $4
union all
select 1 from json_each($5) as w cross join items as i
where i.part_of = unhex(w.atom) and i.job_id between $3 and $4
union all
select 1 from json_each($6) as p cross join items as i
where i.payment_ours = p.value ->> 'ours' and i.job_id between $3 and $4
union all
select 1 from json_each($6) as p cross join items as i
where i.payment_theirs = p.value ->> 'theirs' and i.job_id between $3 and $4
union all
select 1 from json_each($6) as p cross join items as i
where i.payment_part = p.value ->> 'part' and i.job_id between $3 and $4
limit 1
