// Package deploy holds the checks of what is in the folder deploy: manifests, alert rules, the dashboard and the
// image's build. They have a module of their own, so that nobody inherits what they need.
package deploy
