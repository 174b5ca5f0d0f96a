require_relative '../spec_helper'

# Each resource has a page, and the page has each of its properties and actions.
describe 'the documentation of the resources' do
  cookbook = File.expand_path('../../../../../cookbooks/push-jobs', __dir__)

  Dir.glob("#{cookbook}/resources/*.rb").each do |file|
    name = "push_jobs_#{File.basename(file, '.rb')}"

    it "has all of #{name}" do
      code = File.read(file)
      page = File.read("#{cookbook}/documentation/#{name}.md")
      expect(page.scan(/^\| `(\w+)`/).flatten).to eq(code.scan(/^property :(\w+)/).flatten)
      expect(page.scan(/^- `:(\w+)`/).flatten).to eq(code.scan(/^action :(\w+)/).flatten)
      expect(File.read("#{cookbook}/README.md")).to include("documentation/#{name}.md")
    end
  end
end
