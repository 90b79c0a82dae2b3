/** What a registry is told about its user. `from` says where it was found, for messages; it is no secret. */
export type Credential =
  | { readonly kind: 'password'; readonly username: string; readonly password: string; readonly from: string }
  /** An OAuth2 refresh token: exchanged for an access token, never sent to the registry. */
  | { readonly kind: 'identity-token'; readonly username: string; readonly token: string; readonly from: string }
  /** A bearer token, sent to the registry as it is. */
  | { readonly kind: 'registry-token'; readonly token: string; readonly from: string }

/** The user name by which helpers and files say that the secret is an identity token. */
export const identityTokenUser = '<token>'

/** Docker Hub is one registry under several names, and its credentials are kept under the oldest. */
export function serverNames(registry: string): string[] {
  return isDockerHub(registry) ? ['https://index.docker.io/v1/', 'docker.io', 'index.docker.io', 'registry-1.docker.io'] : [registry]
}

export function isDockerHub(registry: string): boolean {
  return ['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'].includes(registry)
}
