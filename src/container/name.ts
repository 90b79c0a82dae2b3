import { StaveError } from '#error.ts'
import { randomBelow } from '#store/random.ts'

const adjectives = (
  'amber ample ancient apt bold brave breezy brisk bright calm candid clever cosy crisp curious daring deft eager early earnest fair fleet fond frank ' +
  'free fresh gentle glad golden grand happy hardy hearty honest humble jolly keen kind lively loyal lucid lucky mellow merry mild modest neat nimble ' +
  'noble patient placid plucky polite prompt proud quick quiet ready regal robust rosy serene sharp shy silent sincere sleek smart snug sober spry ' +
  'steady stoic sunny swift tidy tranquil trusty upbeat valiant vivid warm wise witty young zesty'
).split(' ')

/** People of science, engineering and exploration. */
const surnames = (
  'abbe abel agnesi ampere arago archimedes avicenna avogadro banneker bardeen bassi becquerel bell bernoulli boole born bose boyle brahe braun bunsen ' +
  'cannon carnot cartwright cauchy cavendish cayley celsius chandrasekhar chebyshev clausius cori coulomb cray curie dalton darwin davy dirac doppler ' +
  'edison eiffel einstein erdos euclid euler fahrenheit faraday fermat fermi feynman fibonacci fourier franklin fresnel galilei galois gauss germain ' +
  'gibbs goedel goodall hamilton heaviside heisenberg henry hertz hilbert hodgkin hooke hopper hubble humboldt huygens hypatia ising jacobi joule kepler ' +
  'kirchhoff kovalevskaya lagrange lamarr laplace leavitt leibniz linnaeus lorentz lovelace marconi maxwell mayer meitner mendel mendeleev mercator ' +
  'mirzakhani moebius morse nansen neumann newton noether ohm oersted ostrom pascal pasteur pauli payne planck poincare poisson ptolemy ramanujan raman ' +
  'rayleigh riemann roentgen rubin rutherford sagan salam schroedinger shannon siemens snell somerville stokes sundback tesla tharp torricelli turing ' +
  'vaughan volta wallace watt weber wegener wright wu yalow yukawa zeiss zuse'
).split(' ')

/** A name such as `brisk_noether`; after some that are taken, one with a number. */
export function generateName(isTaken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const name = `${pick(adjectives)}_${pick(surnames)}${attempt < 8 ? '' : 10 + randomBelow(9990)}`
    if (!isTaken(name)) return name
  }
}

/** @throws StaveError `usage` */
export function checkName(name: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(name)) return name
  throw new StaveError(
    'usage',
    `cannot name a container ${JSON.stringify(name)}: names begin with a letter or digit, then also have _ . and -`,
    {
      exitCode: 125,
    },
  )
}

function pick(words: readonly string[]): string {
  return words[randomBelow(words.length)]!
}
