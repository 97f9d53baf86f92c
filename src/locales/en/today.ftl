# The first page of the day.
today-title = Today
today-quiet = Nothing needs a person at the moment.
today-unwell = The service does not get on with: { $duty }
today-unreachable = cannot be reached since
today-unknown-hour = Unknown for over an hour
today-unknown-day = { $shown } for over a day
today-waiting = Waiting for approval
today-to-decide = { $n ->
    [one] One batch waits for you to approve or reject it
   *[other] { $shown } batches wait for you to approve or reject them
}
today-waits-for-approver = { $n ->
    [one] One batch waits for an approver
   *[other] { $shown } batches wait for an approver
}
today-differences = { $n ->
    [one] One difference with the gateway's books is open
   *[other] { $shown } differences with the gateway's books are open
}
today-sent-at = is sent at
today-sent-until = Until then it can be withdrawn on its page.
today-incidents = Open alerts
today-items = Items planned today
today-open = { $shown } open
today-as-of = as of
today-backup = Last backup
today-no-backup = None yet
today-late = Late, missed or failed to begin
today-due = Due
today-expires = Expires
today-runs = Today's runs
today-no-runs = No run has been planned today.
today-all-runs = All runs
today-next = What fires next
today-no-firings = No workflow fires by itself within seven days.
today-at = At
today-since = since
occurrence-due = due
occurrence-queued = queued
occurrence-fired = fired
occurrence-skipped = skipped
occurrence-missed = missed
occurrence-failed = failed
lane-open = open
lane-suspended = suspended
lane-stopped = stopped
