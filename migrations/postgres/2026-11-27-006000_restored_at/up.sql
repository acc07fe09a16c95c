-- When the tenant was brought back from an archive; NULL once its domain is again as its file says.
ALTER TABLE tenants ADD COLUMN restored_at TIMESTAMPTZ;
