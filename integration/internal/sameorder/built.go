package sameorder

// Built reports whether this program was built with the edits. One of them makes it true.
const Built = false
