// The package's front door also loads fetch, WebSocket and caches, which costs 40 ms at start-up; this is all that is
// needed of it without a proxy.
declare module 'undici/lib/dispatcher/agent.js' {
  export { Agent as default } from 'undici'
}
