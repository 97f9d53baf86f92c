-- Plans that were being made in a SQLite file when it was moved here: they are taken away. A server needs none: a plan is one
-- transaction there, and keeps nobody waiting.
create table unfinished_plans (
  id           bigint primary key,
  run_id       bigint not null,
  first_job    bigint not null,
  last_job     bigint not null,
  first_item   bigint not null,
  given_up     bigint not null default 0
);
