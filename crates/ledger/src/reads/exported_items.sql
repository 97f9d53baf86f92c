-- What a list of items that is written into a file says beside the items themselves, a page of which is put in.
select p.*, j.kind, j.lane, r.workflow, r.started_at as planned_at,
  -- When it came into the state that it is in.
  (select max(e.at) from events as e
   where e.item_id = p.id and e.to_state = p.state and e.from_state <> e.to_state) as moved_at,
  -- What the state rests on: the last answer, and where it did not succeed the last one that says why, since a query behind a
  -- refusal only finds nothing. What came late stands behind the lease that ran out.
  (select a.code from attempts as a where a.item_id = p.id and a.kind in ('call', 'notification') and (p.state = 'succeeded' or a.code <> '')
   order by a.version desc, a.late desc limit 1) as answer_code,
  (select a.evidence from attempts as a where a.item_id = p.id and a.kind in ('call', 'notification') and (p.state = 'succeeded' or a.code <> '')
   order by a.version desc, a.late desc limit 1) as answer_evidence,
  -- What is for the same part of the same whole: a declaration that was made again. What was withdrawn replaces nothing.
  (select max(x.id) from items as x where x.part_of = p.part_of and x.part_of is not null and x.part = p.part and x.id < p.id) as replaces,
  (select max(x.id) from items as x where x.part_of = p.part_of and x.part_of is not null and x.part = p.part and x.id > p.id
     and x.state <> 'cancelled') as replaced_by
-- `cross join`: the page first, then the job and the run of each by their numbers.
from ({items}) as p cross join jobs as j cross join runs as r
where j.id = p.job_id and r.id = j.run_id order by p.id
