# What every page has around it.
nav-label = Pages
nav-skip = To the content
nav-today = Today
nav-runs = Runs
nav-unknown = Unknown
nav-approvals = Approvals
nav-upload = Upload
nav-gateways = Gateways
nav-alerts = Alerts
nav-settings = Settings
nav-sign-out = Sign out
search-label = Find a payment by any number
search-placeholder = key, order number, contract …
footer-times = Times are in
keys-title = Keys
keys-search = search
keys-rows = next and previous row
keys-open = open the row
keys-help = keys
close = Close
command-label = The same in a terminal:
newest = Newest
older = Older

role-viewer = viewer
role-operator = operator
role-approver = approver
role-admin = admin

error-not-found = There is no such page
error-forbidden = This is for another role
error-changed = It has changed
error-too-much = That takes too long
error-unavailable = Not at present
error-cannot = That cannot be done
error-back = To the first page

sign-in-title = Sign in
sign-in-token = Token
sign-in-do = Sign in
sign-in-how = A token is made by whoever runs payrun:
sign-in-lost = The browser has not kept the session. Open the page by https, or on the machine itself by http://localhost.

settings-title = Settings
settings-language = Language
settings-zone = Time zone of the pages
settings-project-zone = The project's own is
settings-dense = More rows on a screen
settings-keep = Keep

# States of an item.
state-awaiting-approval = waits for approval
state-planned = planned
state-sending = being sent
state-pending = pending
state-unknown = unknown
state-succeeded = succeeded
state-failed = failed
state-cancelled = cancelled
state-needs-review = needs review
state-rejected = rejected
state-skipped = skipped

# Fields.
run = Run
runs-title = Runs
runs-empty = Nothing has been run yet. A run begins by its schedule, by an upload, or in a terminal:
workflow = Workflow
occurrence = Occurrence
author = Begun by
planned-at = Planned
finished-at = Finished
under-way = under way
items = Items
items-title = Items
open = Open
rate = Items a second
minutes-left = { $n ->
    [one] about a minute left
   *[other] about { $shown } minutes left
}
states = States
state = State
amount = Amount
jobs = Jobs
job = Job
kind = Kind
gateway = Gateway
code = Code
failed-by-code = Failed, by code
rows-to-mend = rows to mend
as-xlsx = As XLSX
as-csv = As CSV
not-renewed = This page could not be renewed: what it shows may be old. It is tried again.
run-version = Workflow version
run-uploaded = Uploaded file
run-was-uploaded = uploaded
run-pace = Sent, over the time of the run
run-pace-most = The highest bar is { $rate } items a second.
run-pace-from = From
run-pace-table = { $n ->
    [one] As a table, a row a second
   *[other] As a table, a row every { $shown } seconds
}
report = Report
report-html = page
report-xlsx = XLSX
report-csv = CSV
report-json = JSON
lane-asks-nothing = nothing is sent or asked there until it is open
