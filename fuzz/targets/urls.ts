import { fileNameOf, isGitUrl, isHttpUrl, parseContext, parseGitUrl } from '#builder/plan/source-url.ts'
import { isPrivateHost, parseAddress, formatAddress } from '#text/address.ts'
import { redactUrl, splitUserinfo } from '#text/url.ts'
import { joined } from '../random.ts'
import { ours, type Target } from '../target.ts'

const pieces = [
  'https://', 'http://', 'git://', 'ssh://', 'git@', 'user:', 'user:hunter2@', 'hunter2', '@', 'host', ':80', '/', '..', '%2f', '%00', '%', '.git', '#', '?', '&', 'ref=', 'tag=', 'branch=', 'subdir=', 'checksum=',
  'keep-git-dir=', 'mtime=commit', '=', '-', '--upload-pack=x', ' ', '\n', ':', '::', '127.0.0.1', '[::ffff:7f00:1]', '64:ff9b::', '0x7f.1', 'é', '\ud800', 'github.com/', 'docker-image://', 'oci-layout://',
] // prettier-ignore

/** A password is in nothing that is shown; what git is given is no option; a downloaded file has a plain name. */
export const urls: Target = {
  name: 'url',
  next(random) {
    const input = joined(random, pieces, 14)
    const address = joined(random, [':', '::', '0', '1', 'ffff', '7f00', '.', '127', '0.0.1', '%eth0', '[', ']', 'g', '64:ff9b::'], 12)
    return { input: JSON.stringify([input, address]), work: () => check(input, address) }
  },
}

function check(input: string, address: string): void {
  ours(() => void parseContext(input))
  const secret = /^https?:\/\/[^/?#\s]*hunter2[^/?#\s]*@/i.test(input)
  if (secret && /^[^/]*\/\/[^/?#]*hunter2[^/?#]*@/.test(redactUrl(input))) throw new Error(`it shows a password: ${redactUrl(input)}`)
  if (splitUserinfo(input).url.length > input.length) throw new Error('it grew')
  if (isGitUrl(input)) {
    ours(() => {
      const { remote, ref } = parseGitUrl(input)
      if (remote.startsWith('-') || ref?.startsWith('-') === true) throw new Error('git would take it for an option')
    })
  }
  if (isHttpUrl(input) && URL.canParse(input)) {
    const name = fileNameOf(input)
    if (name === '' || name === '.' || name === '..' || /[/\u0000]/.test(name)) throw new Error(`the name is ${JSON.stringify(name)}`)
  }
  isPrivateHost(address)
  const parsed = parseAddress(address)
  if (parsed !== undefined && formatAddress(parseAddress(formatAddress(parsed))!) !== formatAddress(parsed))
    throw new Error('it is another address')
}
