// Package screen draws what live views have in common: colours by name, numbers, tables that fit a width, and the
// terminal itself. What it draws is plain text where there are no colours: nothing depends on them.
package screen
