import { StaveError } from '#error.ts'
import { openCredentials } from '#registry/login/credentials.ts'
import * as credentialsModule from '#registry/login/credentials.ts'
import { storeCredential } from '#registry/login/login.ts'
import type { Invocation, Values } from '../command.ts'
import { ask } from '../output/ask.ts'
import { createPlaces, credentialPaths } from '../places.ts'
import { openSession } from '../session.ts'
import type { loginFlags } from './commands.ts'

/** Tries credentials out and stores them. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof loginFlags>): Promise<void> {
  const key = (args[0] ?? 'docker.io')
    .replace(/^https?:\/\//, '')
    .replace(/\/v[12]\/?$/, '')
    .replace(/\/$/, '')
  const registry = key.split('/')[0]!
  const paths = credentialPaths(settings, flags, credentialsModule)
  if (flags['get-login']) {
    const found = await openCredentials(paths).find(cx, registry, key.split('/').slice(1).join('/'))
    if (found === undefined) throw new StaveError('credentials', `not logged in to ${key}`, { hint: `Run stave login ${key}.` })
    return report.print('username' in found ? found.username : '<token>')
  }
  const [username = '', password = ''] = await namedOrAsked(flags)
  if (username === '' || password === '') throw new StaveError('usage', 'stave login: user name and password must not be empty')
  await using places = createPlaces(settings, { ...flags, username, password }, () => openSession(settings))
  await (await places.client()).ping(cx, registry)
  const where = await storeCredential(cx, paths, key, { username, password })
  report.note(`Stored in ${where}.`)
  report.print('Login Succeeded')
}

/** User and password, each from where it was given, or asked for. */
async function namedOrAsked(flags: Values<typeof loginFlags>): Promise<readonly string[]> {
  const given = flags['password-stdin'] ? (await readAll()).replace(/\r?\n$/, '') : flags.password
  const questions = [
    ...(flags.username === undefined ? [{ text: 'Username: ', secret: false }] : []),
    ...(given === undefined ? [{ text: 'Password: ', secret: true }] : []),
  ]
  const answers = questions.length === 0 ? [] : await ask(questions, 'Use --username and --password-stdin.')
  return flags.username === undefined ? [...answers, given ?? ''] : [flags.username, given ?? answers[0] ?? '']
}

async function readAll(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += String(chunk)
    if (text.length > 64 * 1024) throw new StaveError('too-large', 'cannot read the password: it is longer than 64 KiB')
  }
  return text
}
