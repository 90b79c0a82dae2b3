/** A URL, with what opens the door apart from it. */
export interface SplitUrl {
  /** The URL without user name and password. */
  readonly url: string
  /** As the URL writes it: `user:pass%40word`. Undefined where it has none. */
  readonly userinfo: string | undefined
}

/** From the scheme to the last `@` before the path: everything in between is the user's, also where `@` or `:` are repeated. */
const userinfoPattern = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#\s]*)@/i

/** Takes user name and password out of a URL with an authority. Other texts come back as they are. @see RFC 3986, section 3.2.1 */
export function splitUserinfo(text: string): SplitUrl {
  const [whole, scheme = '', userinfo] = userinfoPattern.exec(text) ?? []
  return whole === undefined ? { url: text, userinfo: undefined } : { url: `${scheme}${text.slice(whole.length)}`, userinfo }
}

/** Parameters of a query that are known to carry a secret: signatures of object stores, and tokens. */
const secretParameter = /([?&](?:[^=&#]*(?:signature|token|secret|password|credential|api[-_]?key)|sig|auth|key)=)[^&#\s]*/gi

/**
 * A URL as it may be shown, logged and recorded: without a password, without the values of parameters that are secrets. A
 * user name without a password stays (`ssh://git@host`): over http it is a token as often as a name, and goes too.
 */
export function redactUrl(text: string): string {
  return (
    text
      // Of a whole URL, whatever stands there: what is refused for its blanks is shown too.
      .replace(/^(https?:\/\/)[^/?#]*@/i, '$1')
      .replace(/\b(https?:\/\/)[^/?#\s]*@/gi, '$1')
      .replace(/\b([a-z][a-z0-9+.-]*:\/\/[^/?#\s:@]*):[^/?#\s]*@/gi, '$1@')
      .replace(secretParameter, '$1xxxxx')
  )
}
