// Package plan decides which member of a group should own which partition.
package plan
