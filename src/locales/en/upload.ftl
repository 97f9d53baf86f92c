# Sending a batch.
upload-title = Upload a batch
upload-other-role = To send a batch is for operators.
upload-empty = No workflow takes its rows from a file. The folder ready/ has some to copy:
upload-for = For
upload-encoding = Encoding
upload-encoding-likely = find it out
upload-file = File
upload-nothing-sent = Nothing is sent yet: what would be sent, and what is wrong with a row, is shown first. CSV, JSON Lines or XLSX, up to 64 MiB.
upload-check = Check the file
upload-columns-used = Columns that are used
upload-check-title = Check a batch
upload-other-file = another file
upload-read-as = The file as it was read
upload-sample-note = Can the headings be read? If not, send the file again and choose its encoding. What is personal, and what is not used, is shown as “…”.
upload-columns-missing = Some columns were not found. Which headings are they?
upload-columns-remembered = Which heading is which column: as it was said for this header before
upload-columns-found = Which heading is which column: all were found
upload-optional = may be missing
upload-columns-keep = These are the columns
upload-cannot = This cannot be planned:
upload-would = What would be sent
upload-needs-approval = waits until somebody else has approved it
upload-all-good = Every row would be sent.
upload-refused = Rows that would not be sent
upload-refused-note = The others are not held up by them. Rejected rows can be had back as the same file from the run's page, with the reasons beside them.
upload-line = Line
upload-key = Key
upload-reason = Column and reason
upload-refused-more = { $n ->
    [one] and { $shown } more
   *[other] and { $shown } more
}
upload-nothing = Nothing of this file would be sent, so there is nothing to begin.
upload-begin-title = Begin the run
upload-send-after = Send it
upload-at-once = at once
upload-begin = { $n ->
    [one] Begin with { $shown } item
   *[other] Begin with { $shown } items
}
delay-15m = in 15 minutes; until then it can be withdrawn
delay-5m = in 5 minutes
delay-1h = in an hour
delay-4h = in 4 hours

# While a run waits to be sent.
upload-waits = Nothing of this run is sent before
upload-withdraw-reason = Reason, for the audit log
upload-withdraw = Withdraw the run
upload-left-out = Left out by where
upload-left-out-others = other values
upload-beside = { $n ->
    [one] The run does more than this file: one item of the workflow's other jobs is sent too, from where they take their rows.
   *[other] The run does more than this file: { $shown } items of the workflow's other jobs are sent too, from where they take their rows.
}
