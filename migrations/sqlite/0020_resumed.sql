-- When a person last resumed the workflow: what came due before counts as missed, however short the pause was.
alter table schedules add column resumed_at integer;
