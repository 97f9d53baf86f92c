-- Answers whose meaning no page of the gateway's attests are told once too, with what payrun's reading rests on; none where no
-- outcome table lists the answer at all.
alter table unlisted add column assumed text;
