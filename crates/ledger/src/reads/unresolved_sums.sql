-- What is at risk, by state, age and currency. Which items, and how many at most, is put in for what stands in braces, and so is the
-- instant. The steps of age are ten minutes, an hour, a day and a week.
select state, coalesce(currency, '') as currency,
  cast(case when since > {now} - 600000 then 0 when since > {now} - 3600000 then 1 when since > {now} - 86400000 then 2
    when since > {now} - 604800000 then 3 else 4 end as bigint) as age,
  count(*) as items, cast(coalesce(sum(amount), 0) as bigint) as minor
from ({items}) as open_items
group by 1, 2, 3
order by 3, 2, 1
