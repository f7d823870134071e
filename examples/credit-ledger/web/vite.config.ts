import { pageOf } from '../../web/serve'

export default pageOf({ app: 'credit-ledger', url: import.meta.url })
