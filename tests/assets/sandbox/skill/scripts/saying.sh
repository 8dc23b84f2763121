# Progress and a log line from a shell script, and the last words right before its end.
[ "$SKILLYARD_EVENTS" = 3 ] || exit 9
echo '{"type":"progress","progress":1,"total":2,"message":"reading"}' >&3
printf '%s\n%s\n' '{"type":"log","level":"info","message":"one"}' '{"type":"log","level":"error","message":"two"}' >&3
echo 'R not a result' >&3
echo 'S not a result either' >&3
echo '{"type":"progress","progress":2,"total":2}' >&"$SKILLYARD_EVENTS"
exit 0
