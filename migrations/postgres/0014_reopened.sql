-- Until when a period may be charged that had lapsed and was reopened by a person.
alter table contract_periods add column pay_by text;
