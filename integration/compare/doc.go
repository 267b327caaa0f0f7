// Package compare measures parts of Tenure beside what others use for the same. It is a module of its own, so that
// whoever uses Tenure does not depend on the others.
package compare
