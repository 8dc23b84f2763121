echo "args $*"
read line
echo "stdin $line"
echo "problem" >&2
echo made > made.txt
exit 4
