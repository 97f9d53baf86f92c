-- A lane that has had something due since $2 and made no call since: nobody works on it.
select j.lane from jobs as j join runs as r on r.id = j.run_id where j.finished_at is null and j.started = 1
  and exists (select 1 from items as i where i.job_id = j.id and i.next_at < $2 and i.node is null)
  -- What is closed by now ($1), or paused, is not neglected.
  and not exists (select 1 from lanes as l
    where l.name in (j.lane, j.lane || '/' || j.kind, j.lane || '/' || j.kind || '/' || j.id)
      and l.state <> 'open' and (l.until is null or l.until > $1))
  and not exists (select 1 from pauses as p where p.scope = 'all'
    or (p.scope = 'gateway' and p.name = j.lane) or (p.scope = 'workflow' and p.name = r.workflow))
  and coalesce((select b.filled_at from token_buckets as b where b.name = 'lane:' || j.lane), 0) < $2
limit 1
