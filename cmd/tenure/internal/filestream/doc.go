// Package filestream makes a folder a partitioned stream: each file is a partition, each line an event.
//
// The partitions are the folder's regular files, named by their names; hidden files, folders and symbolic links are
// none (a link would have its file read twice). A line is what ends in "\n"; a "\r" before it belongs to the end and
// not to the line. An unfinished last line waits for its end. Lines are numbered from 0 in each file, as Event Hubs
// numbers events, and a line's offset is the byte position after it, from which its successor is read.
//
// Files may only grow, and new ones may appear. Every 50 ms one goroutine asks for the sizes of all open files that are
// waited for: a system call each, which works alike on every system and file system (over NFS as soon as the client's
// attribute cache lets it), where notifications have limits of their own and do not tell of what other machines write.
// With thousands of files it takes longer pauses, so that looking takes no more than a tenth of one processor's time. A
// follower at rest also looks once a second what has become of its file's name.
//
// What a file may not do ends its follower with an error that names the file, the place and a remedy: it is shorter
// than what was read of it, another file has taken its name, no line ends where reading is to begin, or a line is
// longer than [MaxLine]. Nothing is skipped. A file that is removed is no error: it stays a partition, without new
// lines until it is back. Two changes cannot be seen: a file rewritten in place with as much or more, and, while nobody
// follows it, a file replaced by one that happens to have the end of a line at the same place.
package filestream
