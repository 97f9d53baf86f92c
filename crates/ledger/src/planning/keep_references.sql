-- References ($1) of items of a job ($2) that were planned just now: those with a number above $3. A key that was there before has its
-- item, with the references that it was planned with.
insert into item_references (item_id, name, hashed, text)
-- `cross join`: the list first, each item by its key.
select i.id, value ->> 'name', cast(value ->> 'hashed' as bigint), value ->> 'text'
from json_each($1) as r cross join items as i
where i.key_hash = unhex(r.value ->> 'key_hash') and i.job_id = $2 and i.id > $3
