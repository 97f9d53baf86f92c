-- A workflow file that is removed while nothing runs is noticed at the next start: what its runs have open waits for a person's word.
alter table runs add column file text; -- its path in the workflows folder; none for a file from elsewhere, or a person has decided
