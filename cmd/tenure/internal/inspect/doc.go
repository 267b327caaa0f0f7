// Package inspect makes of a group's records what people and scripts read: rows for tables and JSON, sorted as people
// count, and lines that tell what has changed. It looks at snapshots of one revision each, so that all of what it shows
// goes together. Ages compare this machine's clock with that of whoever wrote a record; they are for people.
package inspect
