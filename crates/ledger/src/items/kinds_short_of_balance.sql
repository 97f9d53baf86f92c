-- The kinds of job of a lane ($1) for which our balance was too small until a while ago ($2 is now), and how many items of each are
-- being sent.
select k.kind,
  -- `cross join`: what is claimed comes first, which is little.
  (select count(*) from items as i cross join jobs as j where i.node is not null
     and i.state = 'sending' and j.id = i.job_id and j.lane = $1 and j.kind = k.kind) as sending
from (
  -- Names of the form LANE/KIND lie between LANE/ and LANE0: zero follows the slash. What a person suspended has an author.
  select substr(name, length($1) + 2) as kind from lanes where name > $1 || '/' and name < $1 || '0'
    and state = 'suspended' and author is null and until <= $2 limit 100) as k
