import { randomBytes } from 'node:crypto'
import { pageOf } from '../../web/serve'

// The referee reads the audit log, which is the admin's alone; the page asks for it here, and never has the password.
const password = randomBytes(24).toString('hex')

export default pageOf({
  app: 'clinic',
  url: import.meta.url,
  env: { NIZHAL_ADMIN_PASSWORD: password, NIZHAL_AUDIT_ARGS: 'on' },
  proxy: { '/referee': { rewrite: (path) => path.replace('/referee', '/nizhal/audit'), headers: { authorization: `Bearer ${password}` } } },
})
