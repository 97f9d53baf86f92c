-- A lane, a kind of job on it or one job ($1) is closed: how ($2), why ($3), and until when ($4); now is $5.
insert into lanes (name, state, reason, until) values ($1, $2, $3, $4)
on conflict (name) do update set state = excluded.state, reason = excluded.reason, until = excluded.until, author = null
-- What is over is closed anew. What a person suspended stays as it is until then. Another state, or an end that is more than a minute
-- later, is news.
where lanes.until <= $5 or (lanes.author is null and (lanes.state <> excluded.state
  or coalesce(lanes.until, 0) < coalesce(excluded.until, 0) - 60000))
